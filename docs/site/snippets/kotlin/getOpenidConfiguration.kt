package latchkey.documents

import java.net.URI
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

suspend fun getOpenidConfiguration() {
    // example
    val url = URI("http://127.0.0.1:3000/.well-known/openid-configuration").toURL()
    println(withContext(Dispatchers.IO) { url.readText() })
    // end
}
