/** A wire between the browser and the gateway that can be cut: whatever is open breaks, whatever is new is refused. */

import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";

export class Wire {
  private readonly open = new Set<Socket>();
  private whole = true;

  private constructor(private readonly server: Server) {}

  static async to(base: string): Promise<Wire> {
    const { hostname, port } = new URL(base);
    const server = createServer((near) => {
      if (!wire.whole) return void near.destroy();
      const far = connect(Number(port), hostname);
      for (const [one, other] of [[near, far], [far, near]] as const) {
        wire.open.add(one);
        one.on("error", () => undefined);
        one.on("close", () => {
          wire.open.delete(one);
          other.destroy();
        });
      }
      near.pipe(far);
      far.pipe(near);
    });
    const wire = new Wire(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return wire;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.whole = false;
    for (const one of this.open) one.destroy();
  }

  mend(): void {
    this.whole = true;
  }

  async end(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
