"""DualPath itself: engines, scheduler, storage and agents as coroutines in a handed-in world.

The way of a KV block: `storage` -> `read_queue` (SNIC into a DRAM buffer) -> `prefill`
(Layer Blocks into HBM, layer by layer, and out to the decode side) -> `decode` (H2D,
generation, persisted Full Blocks) -> `storage`. `world` is the seam: `socket_world` runs
the nodes over real sockets, `virtual_world` in one process in virtual time.
"""
