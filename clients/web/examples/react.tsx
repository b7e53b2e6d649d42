// A React app: the session is opened once, and each component sees who is signed in.

import "latchkey-web/element";
import { type Me, Session } from "latchkey-web";
import type { LatchkeySignIn } from "latchkey-web/element";
import { use, useEffect, useState, useSyncExternalStore } from "react";

declare module "react" {
  // React reads the types of elements from here.
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace JSX {
    interface IntrinsicElements {
      "latchkey-sign-in": DetailedHTMLProps<HTMLAttributes<LatchkeySignIn>, LatchkeySignIn> & {
        session?: Session;
        country?: string;
      };
    }
  }
}

const opened = Session.open({ api: "https://auth.example.com", origins: ["https://api.example.com"] });

/** Whether somebody is signed in, also after a change in another tab. */
function useIsSignedIn(session: Session): boolean {
  return useSyncExternalStore(
    (changed) => session.subscribe(changed),
    () => session.isSignedIn,
  );
}

export function App(): React.JSX.Element {
  const session = use(opened);
  return useIsSignedIn(session) ? <Account session={session} /> : <latchkey-sign-in session={session} country="NP" />;
}

function Account({ session }: { readonly session: Session }): React.JSX.Element {
  const [me, setMe] = useState<Me>();
  useEffect(() => {
    session.call("getMe").then(setMe, console.error);
  }, [session]);
  const order = async (): Promise<void> => {
    // The app's own API, with the access token.
    await session.fetch("https://api.example.com/orders", { method: "POST" });
  };
  return (
    <main>
      <p>Signed in with {me?.phone_number}</p>
      <button onClick={() => void order()}>Order</button>
      <button onClick={() => void session.signOut()}>Sign out</button>
    </main>
  );
}
