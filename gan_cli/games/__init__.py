"""Games: the rules that turn networks, a loss and terms into phases."""
