"""What an operator writes: the schema, the loader and the checks. Imports nothing of ours."""
