"""The shared store: everything in Redis, so that any number of gateways are one."""
