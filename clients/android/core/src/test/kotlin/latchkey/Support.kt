// What the tests and the adapter need of a device: a key in memory, and HTTP that knows PATCH on the JVM.

package latchkey

import java.net.HttpURLConnection
import java.security.KeyPairGenerator
import java.security.spec.ECGenParameterSpec

class SoftwareKeys : DeviceKeys {
    private var key: DeviceKey? = null

    override suspend fun find(): DeviceKey? = key

    override suspend fun findOrMake(): DeviceKey = key ?: replace()

    override suspend fun replace(): DeviceKey = newKey().also { key = it }
}

fun newKey(): DeviceKey {
    val generator = KeyPairGenerator.getInstance("EC")
    generator.initialize(ECGenParameterSpec("secp256r1"))
    return KeyPairDeviceKey(generator.generateKeyPair())
}

/**
 * The client that Android apps have, on the JVM. The JVM sends a PATCH too, once its method is there: `setRequestMethod` alone
 * refuses it. `sun.net.http.retryPost` must be false, so that it sends each request once, as Android does.
 */
fun httpOfTheJvm(): Http =
    UrlConnectionHttp { connection, request ->
        val method = HttpURLConnection::class.java.getDeclaredField("method")
        method.isAccessible = true
        method.set(connection, request.method)
    }
