// Where a session keeps its key and its tokens.

/** Values survive as the structured clone algorithm copies them, which a key without an extractable half does. */
export interface Store {
  get(name: string): Promise<unknown>;
  put(name: string, value: unknown): Promise<unknown>;
  /** Keeps the value unless there is one, and returns what is kept. Of several tabs, the first one wins. */
  add(name: string, value: unknown): Promise<unknown>;
  remove(name: string): Promise<void>;
}

/** Keeps values as long as the page is open. */
export class MemoryStore implements Store {
  readonly #values = new Map<string, unknown>();

  async get(name: string): Promise<unknown> {
    return this.#values.get(name);
  }

  async put(name: string, value: unknown): Promise<void> {
    this.#values.set(name, value);
  }

  async add(name: string, value: unknown): Promise<unknown> {
    if (!this.#values.has(name)) this.#values.set(name, value);
    return this.#values.get(name);
  }

  async remove(name: string): Promise<void> {
    this.#values.delete(name);
  }
}

const STORE = "kept";

/** Keeps values in the browser, for all tabs of the origin. */
export class IndexedDbStore implements Store {
  readonly #name: string;
  #database: IDBDatabase | undefined;

  private constructor(name: string) {
    this.#name = name;
  }

  /** @throws if the browser offers no database here, as some do in private windows. */
  static async open(name: string): Promise<IndexedDbStore> {
    const store = new IndexedDbStore(name);
    await store.#kept("readonly");
    return store;
  }

  async get(name: string): Promise<unknown> {
    return settled((await this.#kept("readonly")).get(name) as IDBRequest<unknown>);
  }

  async put(name: string, value: unknown): Promise<unknown> {
    return settled((await this.#kept("readwrite")).put(value, name));
  }

  async add(name: string, value: unknown): Promise<unknown> {
    // Both requests are in one transaction, so no other tab comes between them.
    const kept = await this.#kept("readwrite");
    const found = await settled(kept.get(name) as IDBRequest<unknown>);
    if (found !== undefined) return found;
    await settled(kept.add(value, name));
    return value;
  }

  async remove(name: string): Promise<void> {
    return settled((await this.#kept("readwrite")).delete(name));
  }

  async #kept(mode: IDBTransactionMode): Promise<IDBObjectStore> {
    if (!this.#database) {
      const opening = indexedDB.open(this.#name);
      opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
      this.#database = await settled(opening);
      // So does the browser when a person clears what it keeps of the site.
      this.#database.onclose = () => {
        this.#database = undefined;
      };
    }
    return this.#database.transaction(STORE, mode).objectStore(STORE);
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((done, failed) => {
    request.onsuccess = () => {
      done(request.result);
    };
    request.onerror = () => {
      failed(new Error(request.error?.message));
    };
  });
}
