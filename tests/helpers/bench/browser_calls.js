/** The calls of a client in JavaScript that are measured; browsers.py has the same in Python. */
export async function measure(connect, address, seconds, flights) {
  const connection = await connect(address);
  const { root } = connection;
  const found = {};
  // The engine compiles what has run often.
  for (let i = 0; i < 3000; i++) root.callRemote("echo", "hello");
  await root.callRemote("echo", "hello");
  const now = () => performance.now() / 1000;
  const spent = () => (globalThis.process ? process.cpuUsage() : undefined);
  for (const [name, flight] of Object.entries(flights)) {
    let count = 0;
    const [began, before] = [now(), spent()];
    const loop = async () => {
      while (now() - began < seconds) {
        if ((await root.callRemote("echo", "hello")) !== "hello") throw new Error("wrong");
        count++;
      }
    };
    await Promise.all(Array.from({ length: flight }, loop));
    found[name] = count / (now() - began);
    const used = before && process.cpuUsage(before);
    if (used) found[`${name} cpu`] = (used.user + used.system) / count;
  }
  const large = new Uint8Array(10 << 20);
  const began = now();
  if ((await root.callRemote("echo", large)).length !== large.length) throw new Error("wrong");
  found.large = now() - began;
  connection.close();
  return found;
}
