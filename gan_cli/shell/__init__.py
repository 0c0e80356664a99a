"""The command line around the commands: what there is, its help and completion, exit codes."""
