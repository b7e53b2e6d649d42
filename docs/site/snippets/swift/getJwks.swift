import Foundation

func getJwks() async throws {
    // example
    let url = URL(string: "http://127.0.0.1:3000/.well-known/jwks.json")!
    let (data, _) = try await URLSession.shared.data(from: url)
    print(String(decoding: data, as: UTF8.self))
    // end
}
