"""What the page of the report is made of: its plan, its sections, and how it is written."""
