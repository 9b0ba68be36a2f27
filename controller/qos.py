"""Egress queues of the switches: linux-htb QoS and Queue rows through OVSDB.

Every port of the plan gets one queue for each lane (paper section 3), in one `ovs-vsctl`
transaction. Ports of one rate share their rows. The transaction is read back: no port may be
left at a default, because a bandwidth that was silently not applied spoils a whole run.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Iterable, Mapping

import msgspec

from plan.errors import RunError
from plan.lanes import QueueClass
from plan.model import Plan

TIMEOUT_S = 60

Row = dict[str, object]


class Qos(msgspec.Struct, frozen=True):
    """The HTB of one port: its rate in wire bit/s and its queues by VL, which is their id."""

    max_bps: int
    queues: tuple[QueueClass, ...]


def wanted_qos(plan: Plan) -> dict[str, Qos]:
    """What every switch port of the plan should have, by device name."""
    return {
        egress.device: Qos(plan.wire_bps(egress.rate_bps), plan.queue_classes(egress))
        for egress in plan.egresses
        if egress.host is None
    }


def install(plan: Plan, databases: Mapping[str, Collection[str]]) -> None:
    """Create the queues of all ports, replacing those of an earlier call, and verify them.

    Args:
        databases: the switches of every database, by its address.

    Raises:
        RunError: ovs-vsctl failed, a port lacks its queues, or a bridge of the plan has a
            port that the plan does not know.
    """
    planned = wanted_qos(plan)
    owner = {egress.device: egress.port[0] for egress in plan.egresses if egress.port is not None}
    for database, switches in databases.items():
        wanted = {device: qos for device, qos in planned.items() if owner[device] in switches}
        _vsctl(database, *transaction(wanted))
        verify(wanted, installed(database, switches))


def transaction(wanted: dict[str, Qos]) -> list[str]:
    """Arguments of the `ovs-vsctl` call that gives every device its queues.

    It first destroys all earlier rows, which neither deleting a bridge nor pointing a port
    elsewhere does; a port outside `wanted` that still uses one makes the call fail.
    """
    commands = [["--all", "destroy", table] for table in ("QoS", "Queue")]
    name = {qos: f"@qos{i}" for i, qos in enumerate(dict.fromkeys(wanted.values()))}
    for qos, row in name.items():
        commands.append(
            [
                f"--id={row}",
                "create",
                "QoS",
                "type=linux-htb",
                f"other-config:max-rate={qos.max_bps}",
                *(f"queues:{queue.vl}={row}q{queue.vl}" for queue in qos.queues),
            ]
        )
        commands += [_create_queue(f"{row}q{queue.vl}", queue) for queue in qos.queues]
    commands += [["set", "Port", device, f"qos={name[qos]}"] for device, qos in wanted.items()]
    return [word for command in commands for word in ("--", *command)]


def installed(database: str, bridges: Iterable[str]) -> dict[str, Qos | None]:
    """What a database holds for every port of its bridges, their own ports left out.

    Raises:
        RunError: ovs-vsctl failed, or a row has another shape than this module writes.
    """
    names = set(bridges)
    qos = {str(row["_uuid"]): row for row in _rows(database, "QoS")}
    queues = {str(row["_uuid"]): row for row in _rows(database, "Queue")}
    ports = {str(row["_uuid"]): row for row in _rows(database, "Port", "_uuid", "name", "qos")}
    held: dict[str, Qos | None] = {}
    for bridge in _rows(database, "Bridge", "name", "ports"):
        if bridge["name"] in names:
            for uuid in _set(bridge["ports"]):
                port = ports[uuid]
                if port["name"] not in names:
                    row = qos.get(next(iter(_set(port["qos"])), ""))
                    held[str(port["name"])] = _read_qos(row, queues) if row else None
    return held


def verify(wanted: dict[str, Qos], held: dict[str, Qos | None]) -> None:
    """Check that every port has exactly the queues it should.

    Raises:
        RunError: naming the first device that differs.
    """
    for device in sorted(wanted.keys() | held.keys()):
        if device not in wanted:
            raise RunError(f"port {device} is on a bridge of the plan but not in the plan")
        if device not in held:
            raise RunError(f"port {device} of the plan is on no bridge; build the network first")
        if wanted[device] != held[device]:
            raise RunError(f"port {device} should have {wanted[device]}, not {held[device]}")


def _create_queue(name: str, queue: QueueClass) -> list[str]:
    return [
        f"--id={name}",
        "create",
        "Queue",
        f"other-config:min-rate={queue.rate_bps}",
        f"other-config:max-rate={queue.ceil_bps}",
        f"other-config:burst={8 * queue.burst_bytes}",
        f"other-config:priority={queue.priority}",
    ]


def _read_qos(row: Row, queues: dict[str, Row]) -> Qos:
    if row["type"] != "linux-htb":
        raise RunError(f"QoS {row['_uuid']} has type {row['type']!r}, not 'linux-htb'")
    return Qos(
        int(_map(row["other_config"])["max-rate"]),
        tuple(
            _read_queue(int(vl), _map(queues[uuid]["other_config"]))
            for vl, uuid in sorted(_map(row["queues"]).items(), key=lambda item: int(item[0]))
        ),
    )


def _read_queue(vl: int, config: dict[str, str]) -> QueueClass:
    return QueueClass(
        vl=vl,
        rate_bps=int(config["min-rate"]),
        ceil_bps=int(config["max-rate"]),
        burst_bytes=int(config["burst"]) // 8,
        priority=int(config["priority"]),
    )


def _vsctl(database: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["ovs-vsctl", f"--db={database}", f"--timeout={TIMEOUT_S}", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise RunError(f"cannot run ovs-vsctl: {error}") from error
    if done.returncode:
        raise RunError(f"ovs-vsctl failed: {done.stderr.strip()}")
    return done.stdout


def _rows(database: str, table: str, *columns: str) -> list[Row]:
    wanted = (f"--columns={','.join(columns)}",) if columns else ()
    listing = json.loads(_vsctl(database, "--format=json", *wanted, "list", table) or "{}")
    headings = listing.get("headings", [])
    return [
        {heading: _plain(value) for heading, value in zip(headings, values, strict=True)}
        for values in listing.get("data", [])
    ]


def _plain(value: object) -> object:
    """OVSDB's JSON notation of a value (RFC 7047, section 5.1) as plain Python."""
    match value:
        case ["uuid", str(uuid)]:
            return uuid
        case ["set", list(members)]:
            return [_plain(member) for member in members]
        case ["map", list(pairs)]:
            return {str(_plain(key)): _plain(item) for key, item in pairs}
        case _:
            return value


def _set(value: object) -> list[str]:
    """A set column: OVSDB writes a set of one as its member."""
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _map(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise RunError(f"expected a map column, not {value!r}")
    return {str(key): str(item) for key, item in value.items()}
