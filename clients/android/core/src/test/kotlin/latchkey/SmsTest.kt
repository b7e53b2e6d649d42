package latchkey

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull

class SmsTest {
    @Test
    fun `the code is found in each form of a message`() {
        val messages =
            listOf(
                "042917 is your Acme code.",
                "<#> 042917 is your Himal code.\nhimal.example\nFA+9qCX9VSu",
                "<#> Your Himal code:\n@himal.example #042917 FA+9qCX9VSu",
                "Your Himal 202420 code:\n@himal.example #042917",
                "<#> 042917 तपाईंको Himal कोड हो।\nFA+1234567u",
            )
        for (message in messages) assertEquals("042917", Sms.code(message), message)
    }

    @Test
    fun `a message without a code has none`() {
        for (message in listOf("", "Your number is +9779841234567.", "Your Himal code: 0429")) {
            assertNull(Sms.code(message), message)
        }
    }

    @Test
    fun `the app's hash is the one that Google's command makes`() {
        // printf '%s' "com.example.himal $(printf 'a certificate' | xxd -p)" | sha256sum | xxd -r -p | base64 | cut -c1-11
        assertEquals("eXYkH5Wlv8l", Sms.appHash("com.example.himal", "a certificate".encodeToByteArray()))
    }
}
