package latchkey

import java.io.IOException
import java.security.KeyStoreException
import java.security.ProviderException
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

class StoreTest {
    private fun newKey(): SecretKey = KeyGenerator.getInstance("AES").apply { init(256) }.generateKey()

    @Test
    fun `what is kept is encrypted, each time anew`() =
        test {
            val inner = MemoryStore()
            val key = newKey()
            val store = SealedStore(inner) { key }
            store.put("tokens", "a secret")
            val first = inner.get("tokens")
            assertTrue("a secret" !in first!!)
            store.put("tokens", "a secret")
            assertNotEquals(first, inner.get("tokens"))
            assertEquals("a secret", store.get("tokens"))
            store.remove("tokens")
            assertNull(store.get("tokens"))
            assertNull(inner.get("tokens"))
        }

    @Test
    fun `what another key, another name or nobody encrypted is not read`() =
        test {
            val inner = MemoryStore()
            val key = newKey()
            val store = SealedStore(inner) { key }
            store.put("tokens", "a secret")
            val sealed = inner.get("tokens")!!
            val other = newKey()
            assertNull(SealedStore(inner) { other }.get("tokens"))
            inner.put("other", sealed)
            assertNull(store.get("other"))
            for (text in listOf("", "AAAA", "not base64!", sealed.dropLast(8))) {
                inner.put("tokens", text)
                assertNull(store.get("tokens"), text)
            }
        }

    @Test
    fun `a Keystore that fails keeps nothing, and says so`() =
        test {
            val store = SealedStore(MemoryStore()) { throw ProviderException("the Keystore failed") }
            assertFailsWith<IOException> { store.put("tokens", "a secret") }
        }

    @Test
    fun `a Keystore that fails for a moment does not lose what is kept`() =
        test {
            val key = newKey()
            val inner = MemoryStore()
            SealedStore(inner) { key }.put("tokens", "a secret")
            assertFailsWith<IOException> { SealedStore(inner) { throw ProviderException("busy") }.get("tokens") }
            assertFailsWith<IOException> { SealedStore(inner) { throw KeyStoreException("busy") }.get("tokens") }
            assertEquals("a secret", SealedStore(inner) { key }.get("tokens"))
        }
}
