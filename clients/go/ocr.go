// Read the text of a picture with the OCR service. Needs only the standard library.
//
//	go run ocr.go FILE|URL [NAME=VALUE ...]    prints the text
//	go run ocr.go --sign NAME=VALUE ...        prints the string to sign and the signature of these fields
//
// Environment: OCR_USER, OCR_SECRET, and OCR_URL (URL of the service).
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

const tries = 5

// comeBack are the temporary errors: rate_limited, busy, dependency_unavailable. The picture was not read.
// quota_exhausted is not one of them: its Retry-After is up to a month.
var comeBack = map[int]bool{12: true, 17: true, 18: true}

// Client reads pictures. It is safe for concurrent use.
type Client struct {
	URL, User, Secret string
	HTTP              http.Client // its Timeout must be longer than the request's timeout_ms
}

// Answer is a response of the service. Status code 6 means that the picture was read.
type Answer struct {
	StatusCode *int   `json:"status_code"`
	Error      string `json:"error"`
	Tips       string `json:"tips"`
	Result     string `json:"result"`
	Lines      []struct {
		Text  string    `json:"text"`
		Score float64   `json:"score"`
		Box   [4][2]int `json:"box"`
	} `json:"lines"`
	RequestID string `json:"request_id"`
}

// Refusal is an error response of the service.
type Refusal struct {
	Answer
	HTTP int
}

func (refusal *Refusal) Error() string {
	return fmt.Sprintf("HTTP %d: %s (%s)", refusal.HTTP, refusal.Tips, refusal.Answer.Error)
}

// Read returns the response for a picture: either fields contains picture_url, or image contains the file's bytes.
// fields also contains the options. An error is a *Refusal or an error of net/http. After the latter, the picture may
// have been read and charged unless the connection failed: decide whether to send it again.
func (client *Client) Read(fields map[string]string, image []byte) (*Answer, error) {
	for left := tries - 1; ; left-- {
		body, contentType, err := client.form(fields, image)
		if err != nil {
			return nil, err
		}
		response, err := client.HTTP.Post(client.URL, contentType, body)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		answer := Answer{Tips: "not from the OCR service"}
		json.Unmarshal(text, &answer)
		code := -1
		if answer.StatusCode != nil {
			code = *answer.StatusCode
		}
		if code == 6 {
			return &answer, nil
		}
		wait, notTold := strconv.Atoi(response.Header.Get("Retry-After"))
		if !comeBack[code] || notTold != nil || left == 0 {
			return nil, &Refusal{answer, response.StatusCode}
		}
		time.Sleep(time.Duration(wait) * time.Second)
	}
}

func (client *Client) form(given map[string]string, image []byte) (*bytes.Buffer, string, error) {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return nil, "", err
	}
	fields := map[string]string{
		"username":  client.User,
		"timestamp": strconv.FormatInt(time.Now().Unix(), 10),
		"nonce":     hex.EncodeToString(nonce),
	}
	for name, value := range given {
		fields[name] = value
	}
	if image != nil {
		digest := sha256.Sum256(image)
		fields["picture_sha256"] = hex.EncodeToString(digest[:])
	}
	fields["sign"] = sign(client.Secret, fields)

	body := new(bytes.Buffer) // writing into memory cannot fail
	form := multipart.NewWriter(body)
	for name, value := range fields {
		form.WriteField(name, value)
	}
	if image != nil {
		part, _ := form.CreateFormFile("image", "picture")
		part.Write(image)
	}
	form.Close()
	return body, form.FormDataContentType(), nil
}

func sign(secret string, fields map[string]string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stringToSign(fields)))
	return hex.EncodeToString(mac.Sum(nil))
}

func stringToSign(fields map[string]string) string {
	var names, signed []string
	for name := range fields {
		if name != "sign" && name != "picture_base64" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		signed = append(signed, encode(name)+"="+encode(fields[name]))
	}
	return strings.Join(signed, "&")
}

// encode percent-encodes like a form, except for the space.
func encode(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

func main() {
	if len(os.Args) < 2 || os.Getenv("OCR_SECRET") == "" {
		fmt.Fprintln(os.Stderr, "usage: OCR_USER=... OCR_SECRET=... go run ocr.go FILE|URL [NAME=VALUE ...]")
		os.Exit(2)
	}
	fields := map[string]string{}
	for _, argument := range os.Args[2:] {
		name, value, _ := strings.Cut(argument, "=")
		fields[name] = value
	}
	secret, picture := os.Getenv("OCR_SECRET"), os.Args[1]
	if picture == "--sign" {
		fmt.Printf("%s\n%s\n", stringToSign(fields), sign(secret, fields))
		return
	}
	address := os.Getenv("OCR_URL")
	if address == "" {
		address = "http://127.0.0.1:8081/ocr"
	}
	var image []byte
	if strings.HasPrefix(picture, "http://") || strings.HasPrefix(picture, "https://") {
		fields["picture_url"] = picture
	} else if read, err := os.ReadFile(picture); err == nil {
		image = read
	} else {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	client := Client{address, os.Getenv("OCR_USER"), secret, http.Client{Timeout: 75 * time.Second}}
	answer, err := client.Read(fields, image)
	if refusal, refused := err.(*Refusal); refused {
		fmt.Fprintln(os.Stderr, refusal)
		os.Exit(1)
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	fmt.Println(answer.Result)
}
