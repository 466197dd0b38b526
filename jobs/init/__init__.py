"""Looks at files that nobody has described, and guesses the pipeline that could be made of them.

`look` reads them, `guess` says what they seem to be and why, `render` writes that as two Python
modules that a person reads, corrects and keeps. Nothing here starts Spark or imports torch, and
nothing is written: a guess is a value.
"""
