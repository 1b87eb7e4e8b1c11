"""HTTP towards the clients: pure ASGI."""
