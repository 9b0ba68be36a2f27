"""One process in virtual time over a modelled network; blocks are their identities."""
