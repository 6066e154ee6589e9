// SPDX-License-Identifier: Apache-2.0
// Questions to the studio's server and their answers, over one web socket.

export class Talk {
  // `heard` is called with each event, `lost` when the server has gone.
  constructor(heard, lost) {
    this.waiting = new Map();
    this.number = 0;
    this.page = sessionStorage.page ??= crypto.randomUUID(); // the same when it is loaded anew
    this.sheet = undefined; // which file this page's scenario is of; the server has those of several pages
    const address = new URL("talk", location.href);
    address.protocol = "ws:";
    this.socket = new WebSocket(address);
    this.opened = new Promise((resolve) => this.socket.addEventListener("open", resolve));
    this.socket.addEventListener("close", lost);
    this.socket.addEventListener("message", (message) => {
      const content = JSON.parse(message.data);
      if (content.event) return heard(content);
      this.sheet = content.sheet ?? this.sheet;
      this.waiting.get(content.number)?.(content);
      return this.waiting.delete(content.number);
    });
  }

  // The answer; `error` in it is a sentence that says why something can't be done.
  async ask(what, more = {}) {
    await this.opened;
    const number = ++this.number;
    const answered = new Promise((resolve) => this.waiting.set(number, resolve));
    this.socket.send(JSON.stringify({ ...more, do: what, number, sheet: this.sheet, page: this.page, narrow: innerWidth <= 800 }));
    return answered;
  }
}
