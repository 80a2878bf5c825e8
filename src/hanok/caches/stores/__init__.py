"""Where answers are kept: in this process's memory, or on a Redis server."""
