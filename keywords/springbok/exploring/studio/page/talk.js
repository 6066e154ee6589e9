// SPDX-License-Identifier: Apache-2.0
// Questions to the studio's server and their answers, over one web socket.

export class Talk {
  // `heard` is called with each event, `lost` when the server has gone.
  constructor(heard, lost) {
    this.waiting = new Map();
    this.number = 0;
    const address = new URL("talk", location.href);
    address.protocol = "ws:";
    this.socket = new WebSocket(address);
    this.opened = new Promise((resolve) => this.socket.addEventListener("open", resolve));
    this.socket.addEventListener("close", lost);
    this.socket.addEventListener("message", (message) => {
      const content = JSON.parse(message.data);
      if (content.event) return heard(content);
      this.waiting.get(content.number)?.(content);
      return this.waiting.delete(content.number);
    });
  }

  // The answer; `error` in it is a sentence that says why something can't be done.
  async ask(what, more = {}) {
    await this.opened;
    const number = ++this.number;
    const answered = new Promise((resolve) => this.waiting.set(number, resolve));
    this.socket.send(JSON.stringify({ ...more, do: what, number, narrow: innerWidth <= 800 }));
    return answered;
  }
}
