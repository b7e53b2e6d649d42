package latchkey

import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import java.io.File
import java.math.BigInteger
import java.security.AlgorithmParameters
import java.security.KeyFactory
import java.security.KeyPair
import java.security.Signature
import java.security.interfaces.ECPublicKey
import java.security.spec.ECGenParameterSpec
import java.security.spec.ECParameterSpec
import java.security.spec.ECPoint
import java.security.spec.ECPrivateKeySpec
import java.security.spec.ECPublicKeySpec
import kotlin.io.encoding.Base64
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

private val base64Url = Base64.UrlSafe.withPadding(Base64.PaddingOption.ABSENT_OPTIONAL)

class DeviceKeyTest {
    private val vectors = json.parseToJsonElement(File(project, "examples/dpop-vectors.json").readText()).jsonObject
    private val jwk = vectors.getValue("private_jwk").jsonObject
    private val curve =
        AlgorithmParameters
            .getInstance("EC")
            .apply { init(ECGenParameterSpec("secp256r1")) }
            .getParameterSpec(ECParameterSpec::class.java)

    private fun number(name: String) = BigInteger(1, base64Url.decode(jwk.getValue(name).jsonPrimitive.content))

    private val pair =
        KeyFactory.getInstance("EC").let {
            val point = ECPoint(number("x"), number("y"))
            KeyPair(
                it.generatePublic(ECPublicKeySpec(point, curve)),
                it.generatePrivate(ECPrivateKeySpec(number("d"), curve)),
            )
        }

    private fun decoded(part: String) = base64Url.decode(part).decodeToString()

    @Test
    fun `proofs are those of the test vectors`() =
        test {
            for (vector in vectors.getValue("proofs").jsonArray.map { it.jsonObject }) {
                val claims = json.parseToJsonElement(vector.getValue("claims").jsonPrimitive.content).jsonObject
                val text = { name: String -> claims.getValue(name).jsonPrimitive.content }
                val token = vector["access_token"]?.jsonPrimitive?.content
                val url = "${text("htu")}?a=b#c"
                val proof = prove(KeyPairDeviceKey(pair), text("htm"), url, text("iat").toLong(), token)
                val (header, ours, signature) = proof.split('.')
                assertEquals(vector.getValue("header").jsonPrimitive.content, decoded(header))
                assertEquals(JsonObject(claims - "jti"), JsonObject(claimsOf<JsonObject>(proof) - "jti"))
                val jti = claimsOf<JsonObject>(proof).getValue("jti").jsonPrimitive
                assertTrue(Regex("[\\w-]{22}").matches(jti.content))
                verify(pair.public as ECPublicKey, "$header.$ours", base64Url.decode(signature))
            }
        }

    @Test
    fun `each signature has 64 bytes, and each point too`() =
        test {
            // About one number in 256 is a byte shorter than the others.
            repeat(300) {
                val key = newKey()
                assertEquals(64, key.point.size)
                assertEquals(64, key.sign(byteArrayOf(it.toByte())).size)
            }
        }

    @Test
    fun `short and long numbers of DER get 32 bytes`() {
        val short = byteArrayOf(0x30, 6, 2, 1, 5, 2, 1, 7)
        assertContentEquals(ByteArray(31) + 5 + ByteArray(31) + 7, joined(short))
        val high = ByteArray(32) { -1 }
        val long = byteArrayOf(0x30, 70, 2, 33, 0) + high + byteArrayOf(2, 33, 0) + high
        assertContentEquals(high + high, joined(long))
    }

    private fun verify(
        key: ECPublicKey,
        signed: String,
        signature: ByteArray,
    ) {
        val verifier = Signature.getInstance("SHA256withECDSAinP1363Format")
        verifier.initVerify(key)
        verifier.update(signed.encodeToByteArray())
        assertTrue(verifier.verify(signature))
    }
}
