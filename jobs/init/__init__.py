"""Looks at files that nobody has described, and guesses the pipeline that could be made of them.

`look` reads them, `guess` says what they seem to be and why, `render` makes of that the text of
two Python modules that a person reads, corrects and keeps; `proposal` does these in a row and
tries what they gave, `place` puts it down. Nothing here starts Spark or imports torch.
"""
