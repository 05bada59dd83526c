"""What `test.py` and `evaluate.py` measure, and the tables that they save."""
