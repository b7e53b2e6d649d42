// A session that keeps its tokens in the app's private files, encrypted, and its key in the Keystore.

package latchkey.android

import android.content.Context
import android.content.SharedPreferences
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import latchkey.SealedStore
import latchkey.Session
import latchkey.Store
import java.io.IOException

/** The name of the file, and of the keys. */
private const val NAME = "latchkey"

/**
 * Opens the session that this device keeps, or one in which nobody is signed in yet. An app has one, for as long as its
 * process lives.
 *
 * @param api the base URL of Latchkey.
 * @param origins other origins whose requests get the access token, such as `https://api.example.com`.
 */
public suspend fun openSession(
    context: Context,
    api: String,
    origins: List<String> = emptyList(),
): Session {
    val file = withContext(Dispatchers.IO) { context.getSharedPreferences(NAME, Context.MODE_PRIVATE) }
    val store = SealedStore(PreferencesStore(file)) { sealingKey("$NAME-store") }
    return Session.open(api, store, KeystoreKeys("$NAME-device"), origins)
}

/** Keeps texts in a file of the app. */
public class PreferencesStore(
    private val file: SharedPreferences,
) : Store {
    override suspend fun get(name: String): String? = file.getString(name, null)

    override suspend fun put(
        name: String,
        value: String,
    ): Unit = commit { putString(name, value) }

    override suspend fun remove(name: String): Unit = commit { remove(name) }

    /** `apply` would return before the value is on the disk, and a refresh token must not be lost. */
    private suspend fun commit(change: SharedPreferences.Editor.() -> Unit) =
        withContext(Dispatchers.IO) {
            if (!file.edit().apply(change).commit()) throw IOException("the file could not be written")
        }
}
