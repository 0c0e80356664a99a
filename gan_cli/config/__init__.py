"""From words on a command line to objects: compose, validate, build."""
