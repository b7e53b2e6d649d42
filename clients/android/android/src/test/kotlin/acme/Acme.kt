package acme

import android.app.Application
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.async
import latchkey.Session
import latchkey.android.openSession

class Acme : Application() {
    val scope: CoroutineScope = MainScope()

    /** One for the whole app. */
    val session: Deferred<Session> by lazy { scope.async { openSession(this@Acme, "http://localhost:3000") } }
}
