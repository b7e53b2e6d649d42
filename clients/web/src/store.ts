// Where a session keeps its key and its tokens.

/** Values survive as the structured clone algorithm copies them, which a key without an extractable half does. */
export interface Store {
  get(name: string): Promise<unknown>;
  put(name: string, value: unknown): Promise<void>;
  /** Keeps the value unless there is one, and returns what is kept. Of several tabs, the first one wins. */
  add(name: string, value: unknown): Promise<unknown>;
  remove(name: string): Promise<void>;
}

/** Keeps values as long as the page is open. */
export class MemoryStore implements Store {
  readonly #values = new Map<string, unknown>();

  get(name: string): Promise<unknown> {
    return Promise.resolve(this.#values.get(name));
  }

  put(name: string, value: unknown): Promise<void> {
    this.#values.set(name, value);
    return Promise.resolve();
  }

  add(name: string, value: unknown): Promise<unknown> {
    if (!this.#values.has(name)) this.#values.set(name, value);
    return this.get(name);
  }

  remove(name: string): Promise<void> {
    this.#values.delete(name);
    return Promise.resolve();
  }
}

const STORE = "kept";

/** Keeps values in the browser, for all tabs of the origin. */
export class IndexedDbStore implements Store {
  readonly #database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.#database = database;
  }

  /** @throws if the browser offers no database here, as some do in private windows. */
  static async open(name: string): Promise<IndexedDbStore> {
    const opening = indexedDB.open(name);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    return new IndexedDbStore(await settled(opening));
  }

  get(name: string): Promise<unknown> {
    return settled(this.#kept("readonly").get(name) as IDBRequest<unknown>);
  }

  async put(name: string, value: unknown): Promise<void> {
    await settled(this.#kept("readwrite").put(value, name));
  }

  async add(name: string, value: unknown): Promise<unknown> {
    // Both requests are in one transaction, so no other tab comes between them.
    const kept = this.#kept("readwrite");
    const found = await settled(kept.get(name) as IDBRequest<unknown>);
    if (found !== undefined) return found;
    await settled(kept.add(value, name));
    return value;
  }

  async remove(name: string): Promise<void> {
    await settled(this.#kept("readwrite").delete(name));
  }

  #kept(mode: IDBTransactionMode): IDBObjectStore {
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
