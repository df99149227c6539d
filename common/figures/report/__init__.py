"""The sheet that shows the report's most telling figures in one picture."""
