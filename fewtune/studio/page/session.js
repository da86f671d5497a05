// What this window remembers over a reload.

export const session = {
  get(key) {
    try { return sessionStorage.getItem(key); } catch { return null; }
  },
  set(key, value) {
    // Private windows may refuse, and there is an end to what is kept.
    try { sessionStorage.setItem(key, value); return true; } catch { return false; }
  },
};
