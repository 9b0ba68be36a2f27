"""KV-Cache at rest: the storage service, its clients, and the DRAM pool."""
