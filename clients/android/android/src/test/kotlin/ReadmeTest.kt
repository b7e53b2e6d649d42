import java.io.File
import kotlin.test.Test
import kotlin.test.assertTrue

class ReadmeTest {
    private fun lines(text: String) =
        text
            .lines()
            .map { it.trim() }
            .filter { it.isNotEmpty() }
            .joinToString("\n")

    @Test
    fun `each example of the README is compiled`() {
        val compiled = File("src/test/kotlin/acme").listFiles()!!.map { lines(it.readText()) }
        val blocks = Regex("```kotlin\n(.*?)```", RegexOption.DOT_MATCHES_ALL).findAll(File("../README.md").readText())
        val examples = blocks.map { lines(it.groupValues[1]) }.toList()
        assertTrue(examples.size > 5)
        for (example in examples) assertTrue(compiled.any { example in it }, "not in src/test/kotlin/acme:\n$example")
    }
}
