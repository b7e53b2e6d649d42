// Where a session keeps its tokens.

package latchkey

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import java.io.IOException
import java.security.GeneralSecurityException
import java.security.ProviderException
import java.util.concurrent.ConcurrentHashMap
import javax.crypto.AEADBadTagException
import javax.crypto.Cipher
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import kotlin.io.encoding.Base64

/** Keeps texts by their names. */
public interface Store {
    /**
     * `null` if nothing is kept, or if what is kept can never be read again.
     *
     * @throws IOException if it cannot be read now.
     */
    @Throws(IOException::class)
    public suspend fun get(name: String): String?

    /**
     * Returns once the value survives a crash.
     *
     * @throws IOException if it cannot be kept.
     */
    @Throws(IOException::class)
    public suspend fun put(
        name: String,
        value: String,
    )

    @Throws(IOException::class)
    public suspend fun remove(name: String)
}

/** Keeps values as long as the process lives. */
public class MemoryStore : Store {
    private val values = ConcurrentHashMap<String, String>()

    override suspend fun get(name: String): String? = values[name]

    override suspend fun put(
        name: String,
        value: String,
    ) {
        values[name] = value
    }

    override suspend fun remove(name: String) {
        values.remove(name)
    }
}

/** Keeps values in another store, encrypted by a key that the device does not give away. */
public class SealedStore(
    private val inner: Store,
    /** An AES key for GCM. */
    private val key: () -> SecretKey,
) : Store {
    override suspend fun get(name: String): String? {
        val kept = inner.get(name) ?: return null
        return onKeystore {
            try {
                val sealed = Base64.decode(kept)
                val cipher = Cipher.getInstance(TRANSFORMATION)
                cipher.init(Cipher.DECRYPT_MODE, key(), GCMParameterSpec(TAG_BITS, sealed, 0, NONCE_BYTES))
                cipher.updateAAD(name.encodeToByteArray())
                cipher.doFinal(sealed, NONCE_BYTES, sealed.size - NONCE_BYTES).decodeToString()
            } catch (_: AEADBadTagException) {
                null // A backup was restored on another device, which has another key.
            } catch (_: IllegalArgumentException) {
                null
            } catch (failure: GeneralSecurityException) {
                throw IOException(failure)
            } catch (failure: ProviderException) {
                throw IOException(failure)
            }
        }
    }

    override suspend fun put(
        name: String,
        value: String,
    ) {
        val sealed =
            onKeystore {
                try {
                    val cipher = Cipher.getInstance(TRANSFORMATION)
                    // The nonce is the cipher's own: Android's Keystore allows no other.
                    cipher.init(Cipher.ENCRYPT_MODE, key())
                    // A value under another name is not this one.
                    cipher.updateAAD(name.encodeToByteArray())
                    Base64.encode(cipher.iv + cipher.doFinal(value.encodeToByteArray()))
                } catch (failure: GeneralSecurityException) {
                    throw IOException(failure)
                } catch (failure: ProviderException) {
                    throw IOException(failure)
                }
            }
        inner.put(name, sealed)
    }

    override suspend fun remove(name: String): Unit = inner.remove(name)

    private companion object {
        const val TRANSFORMATION = "AES/GCM/NoPadding"
        const val NONCE_BYTES = 12
        const val TAG_BITS = 128

        suspend fun <T> onKeystore(work: () -> T): T = withContext(Dispatchers.IO) { work() }
    }
}
