"""From labelled images to a finished run folder."""
