"""`python -m jobs.cli`: the same as `nightscore`."""

import sys

from jobs.cli.app import main

sys.exit(main())
