import Latchkey
import SwiftUI

@main
struct AcmeApp: App {
    /// One for the whole app.
    static let session = Session(api: URL(string: "http://localhost:3000")!)

    var body: some Scene {
        WindowGroup { Start() }
    }
}

struct Start: View {
    @State private var isSignedIn: Bool?

    var body: some View {
        Group {
            switch isSignedIn {
            case true?: Text("You are signed in")
            case false?: SignInView(flow: SignIn(session: AcmeApp.session))
            case nil: ProgressView()
            }
        }
        .task { isSignedIn = await AcmeApp.session.isSignedIn }
    }
}

struct SignInView: View {
    @StateObject var flow: SignIn
    @State private var typed = ""

    var body: some View {
        Form {
            switch flow.step {
            case .number:
                TextField("Your number", text: $typed).textContentType(.telephoneNumber).keyboardType(.phonePad)
                Button("Send a code") { go { await flow.send($0) } }
            case .code(let sent, let needsNewCode):
                TextField("The code", text: $typed).textContentType(.oneTimeCode).keyboardType(.numberPad)
                Button("Sign in (\(sent.attemptsLeft) tries left)") { go { await flow.submit($0) } }.disabled(needsNewCode)
                Button("Send another code") { go { _ in await flow.resend() } }
            case .secondSignal(_, let approvalAsked):
                if approvalAsked { Button("I have approved it on my other device") { go { _ in await flow.approved() } } }
                Button("Ask for the older account") { go { _ in await flow.recover() } }
                Button("Create a new account") { go { _ in await flow.freshAccount() } }
            case .released(_, let undoes, let undoUntil):
                Button("Take it back, until \(undoUntil.formatted())") { go { _ in await flow.restore(signOutOthers: true) } }
                if undoes == "account_deletion" { Button("Create a new account") { go { _ in await flow.freshAccount() } } }
            case .recovery(_, let opensAt, _, _):
                Text("Come back \(opensAt?.formatted() ?? "later")")
            case .signedIn(let signedIn):
                Text("Signed in as \(signedIn.user.phoneNumber ?? "")")
            }
            if let problem = flow.problem { Text(problem.localizedDescription) }
        }
        .disabled(flow.isBusy)
    }

    private func go(_ step: @escaping (String) async -> Void) {
        let text = typed
        typed = ""
        Task { await step(text) }
    }
}
