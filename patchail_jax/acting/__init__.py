"""Steps environments with somebody's actions and hands out finished episodes."""
