// The live stream: keeps the newest facts of some topics, by WebSocket first and by SSE where that is refused.

const RETRY_MS = 5000;

/**
 * Follow `topics` for ever. `rings` bounds how many facts of a topic are kept, oldest first out.
 * What is returned is alive: facts by topic and key ({body, at, ts}), control, frameAt, connected, clockOffsetMs, dirty.
 */
export function follow(topics, rings, { onFrame = () => {}, onOpen = () => {} } = {}) {
  const live = {
    facts: Object.fromEntries(topics.map((topic) => [topic, new Map()])),
    control: null, frameAt: -Infinity, connected: false, clockOffsetMs: 0, dirty: true,
  };
  const query = `topics=control,${topics.join(",")}`;
  let failures = 0;

  function take(text) {
    const frame = JSON.parse(text);
    const now = performance.now();
    if (frame.type === "snapshot") for (const map of Object.values(live.facts)) map.clear();
    for (const [topic, changed] of Object.entries(frame.facts)) {
      const map = live.facts[topic];
      if (!map) continue;
      const ring = rings[topic];
      for (const [key, body] of Object.entries(changed)) {
        if (ring) map.delete(key);
        map.set(key, { body, at: now, ts: body.ts_ns ?? body.ts_init_ns ?? body.ts_event_ns ?? frame.ts_ns });
        if (ring && map.size > ring) map.delete(map.keys().next().value);
      }
    }
    live.control = frame.control ?? live.control;
    live.clockOffsetMs = Number(frame.ts_ns) / 1e6 - Date.now();
    live.frameAt = now;
    onFrame(frame);
    live.dirty = true;
  }

  async function opened() {
    failures = 0;
    live.connected = true;
    live.dirty = true;
    await onOpen();
  }

  function lost() {
    failures += 1;
    live.connected = false;
    live.dirty = true;
    setTimeout(connect, Math.min(RETRY_MS, 500 * 2 ** Math.min(failures, 4)));
  }

  /** After two refusals SSE, which some proxies pass where they do not pass an upgrade. */
  function connect() {
    if (failures % 3 === 2) {
      const source = new EventSource(`/api/ui/stream-sse?${query}`);
      source.onopen = opened;
      source.addEventListener("update", (event) => take(event.data));
      source.onerror = () => {
        source.close();
        lost();
      };
      return;
    }
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/api/ui/stream?${query}`);
    socket.onopen = opened;
    socket.onmessage = (event) => take(event.data);
    socket.onclose = lost;
  }

  // The first frame must find the page's own functions defined.
  setTimeout(connect, 0);
  return live;
}
