"""The page of one night: can its scores be trusted?"""
