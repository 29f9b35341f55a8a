"""Both sides followed: what a look finds is told as soon as one of them changes. It only looks."""
