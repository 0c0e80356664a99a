"""Commands: one small file each. `main()` serves the command line, the function beside it serves Python."""
