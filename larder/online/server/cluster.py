"""A Redis Cluster client that asks all nodes at once, and never longer than its time-out."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis import Redis, RedisCluster
from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, ConnectionError, MovedError, ResponseError, TimeoutError

Command = tuple[Any, ...]
Sent = tuple[int | None, Command]
"""A command and the place of its answer; None when nobody waits for it."""


class Cluster(RedisCluster):
    """redis-py's client with a pipeline of its own.

    redis-py's pipeline sends every command again, one after the other, when a node does not answer: a hundred
    commands wait a hundred time-outs. Here the first node that fails ends the call, and the next call first
    learns anew from another node which node has which slots.
    """

    _is_stale = False

    def run(self, commands: Sequence[tuple[int, Command]], *, before: Command | None = None) -> list[Any]:
        """The answers to (slot, command) in their order: one round trip, all nodes at once.

        A slot that has moved is followed once. `before` is sent to each node ahead of its commands. Raises
        redis-py's error for the first command that failed; the others may have been carried out.
        """
        if self._is_stale:
            self._learn_slots()
        batches: dict[ClusterNode, list[Sent]] = {}
        for place, (slot, command) in enumerate(commands):
            batches.setdefault(self.nodes_manager.get_node_from_slot(slot), []).append((place, command))
        answers = self._round_trip(batches, before)
        moved = {place: answer for place, answer in answers.items() if isinstance(answer, AskError)}
        if moved:
            answers |= self._round_trip(self._redirected(commands, moved), before)
        for answer in answers.values():
            if isinstance(answer, ResponseError):
                self._is_stale |= isinstance(answer, AskError | ClusterDownError)
                raise answer
        return [answers[place] for place in range(len(commands))]

    def on_node_of(self, slot: int, action: Callable[[Redis], Any]) -> Any:
        """What `action` returns for a client of the node that has the slot; a slot that has moved is an error."""
        if self._is_stale:
            self._learn_slots()
        try:
            return action(self.get_redis_connection(self.nodes_manager.get_node_from_slot(slot)))
        except (ConnectionError, TimeoutError, AskError, ClusterDownError):
            self._is_stale = True
            raise

    def _round_trip(self, batches: dict[ClusterNode, list[Sent]], before: Command | None) -> dict[int, Any]:
        """Answers, errors among them, by place."""
        answers: dict[int, Any] = {}
        waiting: list[tuple[ClusterNode, Any, list[Sent]]] = []
        node = None
        try:
            for node, batch in batches.items():
                sent = [(None, before), *batch] if before else batch
                connection = self.get_redis_connection(node).connection_pool.get_connection()
                waiting.append((node, connection, sent))
                # In one piece: redis-py would send each 6 kB by itself.
                packed = b"".join(connection.pack_commands([command for _, command in sent]))
                connection.send_packed_command([packed])
            while waiting:
                node, connection, sent = waiting[0]
                answers |= _answers(connection, sent)
                waiting.pop(0)
                self.get_redis_connection(node).connection_pool.release(connection)
        except (ConnectionError, TimeoutError):
            self._is_stale = True
            if node is not None:
                self.nodes_manager.move_node_to_end_of_cached_nodes(node.name)
            raise
        finally:
            for node, connection, _ in waiting:
                connection.disconnect()  # its answers must not become those of the next call
                self.get_redis_connection(node).connection_pool.release(connection)
        return answers

    def _redirected(
        self, commands: Sequence[tuple[int, Command]], moved: dict[int, AskError]
    ) -> dict[ClusterNode, list[Sent]]:
        """The commands again, to where their slots are now (MOVED) or are moving to (ASK)."""
        batches: dict[ClusterNode, list[Sent]] = {}
        for place, redirection in moved.items():
            slot, command = commands[place]
            if isinstance(redirection, MovedError):
                self.nodes_manager.move_slot(redirection)
                batches.setdefault(self.nodes_manager.get_node_from_slot(slot), []).append((place, command))
            else:
                node = self.get_node(redirection.host, redirection.port)
                if node is None:  # new in the Cluster and without a slot so far
                    node = ClusterNode(redirection.host, redirection.port, "primary")
                    self.nodes_manager.nodes_cache[node.name] = node
                batches.setdefault(node, []).extend([(None, ("ASKING",)), (place, command)])
        return batches

    def _learn_slots(self) -> None:
        """Ask the node that failed longest ago; one that does not answer costs one time-out, and the next call asks
        another."""
        node = next(iter(self.nodes_manager.startup_nodes.values()))
        try:
            self.get_redis_connection(node).ping()
        except (ConnectionError, TimeoutError):
            self.nodes_manager.move_node_to_end_of_cached_nodes(node.name)
            raise
        self.nodes_manager.initialize()
        self._is_stale = False


def places_by_slot(keys: Iterable[bytes]) -> dict[int, list[int]]:
    """Places in `keys`, by the slot of Redis Cluster that the key is in."""
    places: dict[int, list[int]] = {}
    slots: dict[bytes, int] = {}  # of hash tags: the views of one entity share theirs
    for place, key in enumerate(keys):
        # An empty one, of a view without entities, counts for nothing: then Redis takes the whole key.
        is_tagged = key.endswith(b"}") and not key.endswith(b"{}")
        tag = key[max(0, key.find(b"{")) :] if is_tagged else key
        slot = slots.get(tag)
        if slot is None:
            slot = slots[tag] = key_slot(tag)
        places.setdefault(slot, []).append(place)
    return places


def _answers(connection: Any, sent: list[Sent]) -> dict[int, Any]:
    answers = {}
    for place, _ in sent:
        try:
            answer = connection.read_response()
        except ResponseError as problem:
            answer = problem
        if place is not None:
            answers[place] = answer
        elif isinstance(answer, ResponseError):
            raise answer
    return answers
