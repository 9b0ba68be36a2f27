"""The plain data that a run's processes share: scale, lanes, fabric, deployment, records.

The runner writes one `Plan` and hands it to every process at its start. `topology`,
`controller` and `nodes` read it and do not import each other.
"""
