"""Server-sent events, read incrementally from bytes that are cut anywhere."""

from __future__ import annotations

from typing import NamedTuple

MAX_EVENT_BYTES = 8 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its data lines joined with `\\n`, and its `event:` name (b"" if it had none)."""

    data: bytes
    name: bytes = b""


class EventReader:
    """Bytes in, whole events out. Lines end at `\\n`, `\\r\\n` or `\\r`, also where these are cut in two."""

    __slots__ = (
        "_begun",
        "_cut",
        "_cut_size",
        "_data",
        "_data_size",
        "_name",
        "_skip_newline",
        "after",
        "before",
        "comments",
        "idle",
        "too_long",
    )

    def __init__(self) -> None:
        self.comments = 0
        """Comment lines seen so far."""
        self.too_long = False
        """An event grew over MAX_EVENT_BYTES: nothing more is read."""
        self.idle = False
        """No event is begun: what comes next is the start of one."""
        self.before = b"data: "
        """What stood before the data of the last event that was one line."""
        self.after = b"\n\n"
        """What stood behind it, at the end of the last bytes that were whole events."""
        self._begun = False
        self._cut: list[bytes] = []
        self._cut_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._name = b""
        self._skip_newline = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete. Those before an event that is too long are still returned."""
        whole, rest = self.split(data)
        events = [event for lines in whole if (event := self.event(lines)) is not None]
        return events + self.rest(rest)

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The lines of each of the whole events that these bytes complete, unread (for `event`), and the bytes left
        (for `rest`). All are left where an event of several lines was begun, or a line end may be cut in two."""
        if not self._begun:
            data = self._without_bom(data)
        if self._data or self._name or self._skip_newline or len(data) + self._cut_size > MAX_EVENT_BYTES:
            return [], data
        lines, after = data, b"\n\n"
        if b"\r" in data:
            lines, after = data.replace(b"\r\n", b"\n"), b"\r\n\r\n"
        end = lines.rfind(b"\n\n")
        if end < 0 or b"\r" in lines:
            return [], data
        self.after = after
        whole = lines[:end].split(b"\n\n")
        if self._cut:
            whole[0] = self._take_cut() + whole[0]
        return whole, lines[end + 2 :]

    def event(self, lines: bytes) -> Event | None:
        """The event of the lines between two blank ones."""
        if lines.startswith(b"data: ") and b"\n" not in lines:
            self.before = b"data: "
            return Event(lines[6:])
        if lines.startswith(b"data:") and b"\n" not in lines:
            self.before = b"data:"
            return Event(lines[5:])
        events = self._events([*lines.split(b"\n"), b""])
        return events[0] if events else None

    def rest(self, data: bytes) -> list[Event]:
        """The events that the bytes complete which `split` left."""
        events = [] if self.too_long or not data else self._lines(data)
        begun = self._cut or self._data or self._name or self._skip_newline
        self.idle = self._begun and not begun and not self.too_long
        return events

    def _lines(self, data: bytes) -> list[Event]:
        if self._skip_newline or b"\r" in data:
            data = self._newlines(data)
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return []
        lines = data[:end].split(b"\n")
        if self._cut:
            lines[0] = self._take_cut() + lines[0]
        events = self._events(lines)
        self._keep(data[end + 1 :])
        return events

    def close(self) -> list[Event]:
        """The last event, where the stream ended without the blank line that completes it."""
        return [] if self.too_long else self._events([self._take_cut(), b""])

    def _without_bom(self, data: bytes) -> bytes:
        """The stream without its byte order mark; b"" while the first bytes do not tell yet."""
        head = self._take_cut() + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._keep(head)
            return b""
        self._begun = True
        return head.removeprefix(_BOM)

    def _newlines(self, data: bytes) -> bytes:
        if self._skip_newline:
            data = data.removeprefix(b"\n")
        self._skip_newline = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, piece: bytes) -> None:
        """Hold the start of a line until its end arrives."""
        if piece:
            self._cut.append(piece)
            self._cut_size += len(piece)
            self._check_size()

    def _take_cut(self) -> bytes:
        cut = b"".join(self._cut)
        self._cut.clear()
        self._cut_size = 0
        return cut

    def _check_size(self) -> None:
        if self._data_size + self._cut_size > MAX_EVENT_BYTES:
            self.too_long = True

    def _events(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._take_event())
                self._name = b""
            elif line.startswith(b"data:"):
                self._add(line[6:] if line[5:6] == b" " else line[5:])
            else:
                self._other(line)
            if self.too_long:
                break
        return events

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._data_size += len(value)
        self._check_size()

    def _take_event(self) -> Event:
        event = Event(self._data[0] if len(self._data) == 1 else b"\n".join(self._data), self._name)
        self._data = []
        self._data_size = 0
        return event

    def _other(self, line: bytes) -> None:
        if line.startswith(b":"):
            self.comments += 1
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
