"""The bridge: the one place that maps over devices and places arrays."""
