"""The folder of a run: what training and evaluation write there and read again."""
