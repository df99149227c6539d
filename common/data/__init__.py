"""FER-2013 in any layout: tables, folders, archives, splits, photographs, synthetic faces."""
