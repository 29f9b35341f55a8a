"""`python -m toolkit.benchmark`: the stages of a run, as ratios."""

from toolkit.benchmark.stages import main

main()
