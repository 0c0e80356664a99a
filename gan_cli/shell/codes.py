"""Exit codes: done; failed after the work began; wrong words, which nothing was begun for; stopped by Ctrl-C."""

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
