// A service that verifies access tokens with the published keys, with golang-jwt and keyfunc.
//
//	ISSUER=http://127.0.0.1:3000 go run .
//	curl http://127.0.0.1:8083/orders -H "authorization: Bearer $ACCESS_TOKEN"
//
// It does not see that a session was ended: a token works here until it expires, at most 15 minutes later. Put the routes that
// must see it behind the authorizer. It refuses tokens that are bound to a device key (claim cnf), because it does not check
// proofs. With AccessTokenBinding all, check them as docs/integrate.md says, or use the authorizer.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

// claims are those that every access token has, and cnf of a bound one.
type claims struct {
	jwt.RegisteredClaims
	Session      string          `json:"sid"`
	Organization string          `json:"org"`
	Fresh        bool            `json:"fresh"`
	Confirmation json.RawMessage `json:"cnf"`
}

type verifier struct {
	keys         keyfunc.Keyfunc
	parser       *jwt.Parser
	organization string
}

// newVerifier reads the keys. It fails if it can't: let the service start again then.
func newVerifier(issuer, audience, organization, jwksURL string) (*verifier, error) {
	mustHaveKeys := false
	keys, err := keyfunc.NewDefaultOverrideCtx(context.Background(), []string{jwksURL}, keyfunc.Override{
		NoErrorReturnFirstHTTPReq: &mustHaveKeys,
		// Reads the keys again after five minutes, and for a key that it does not know, at most every 30 seconds.
		RefreshInterval:   5 * time.Minute,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(30*time.Second), 1),
		HTTPTimeout:       5 * time.Second,
		RateLimitWaitMax:  5 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithNotBeforeRequired(),
		// The clocks of two machines differ.
		jwt.WithLeeway(5*time.Second),
	)
	return &verifier{keys, parser, organization}, nil
}

// verified returns the claims of an access token that is valid here.
func (v *verifier) verified(ctx context.Context, token string) (*claims, error) {
	var found claims
	parsed, err := v.parser.ParseWithClaims(token, &found, v.keys.KeyfuncCtx(ctx))
	if err != nil {
		return nil, err
	}
	switch {
	case parsed.Header["typ"] != "at+jwt":
		// A refresh token has another type, and the same key signs it.
		return nil, errors.New("not an access token")
	case parsed.Header["crit"] != nil:
		// golang-jwt ignores it. Whoever does not understand a critical header must refuse the token (RFC 7515, 4.1.11).
		return nil, errors.New("an unknown critical header")
	case found.Subject == "" || found.Session == "" || found.IssuedAt == nil:
		return nil, errors.New("a claim is missing")
	case found.Organization != v.organization:
		return nil, errors.New("a token of another organization")
	case found.Confirmation != nil:
		return nil, errors.New("bound to a device key, whose proof is not checked here")
	}
	return &found, nil
}

func (v *verifier) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		response.Header().Set("WWW-Authenticate", "Bearer")
		answer(response, http.StatusUnauthorized, map[string]any{"error": "token_required"})
		return
	}
	found, err := v.verified(request.Context(), strings.TrimSpace(token))
	if err != nil {
		response.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		answer(response, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	answer(response, http.StatusOK, map[string]any{
		"user_id": found.Subject, "organization_id": found.Organization, "fresh": found.Fresh,
	})
}

func answer(response http.ResponseWriter, status int, body map[string]any) {
	response.Header().Set("Content-Type", "application/json")
	response.WriteHeader(status)
	if err := json.NewEncoder(response).Encode(body); err != nil {
		log.Print(err)
	}
}

func setting(name, standard string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return standard
}

func main() {
	issuer := os.Getenv("ISSUER")
	jwksURL := setting("JWKS_URL", issuer+"/.well-known/jwks.json")
	service, err := newVerifier(issuer, setting("AUDIENCE", "latchkey"), setting("ORGANIZATION", "default"), jwksURL)
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{
		Addr: "127.0.0.1:" + setting("PORT", "8083"), Handler: service, ReadHeaderTimeout: 5 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}
