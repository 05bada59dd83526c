"""From spectrograms to metrics: inference, evaluation, reports and submissions.

Imports go one way: metrics → inference → evaluation → reports → submissions → the steps of the scripts (testing.py,
submitting.py, comparison.py).
"""
