import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Read the text of a picture with the OCR service: Java 11 or newer, no dependencies.
 *
 * <p>{@code java Ocr.java FILE|URL [NAME=VALUE ...]} prints the service's response as JSON. Environment: OCR_USER,
 * OCR_SECRET, and OCR_URL (URL of the service). {@code java Ocr.java --sign NAME=VALUE ...} prints the string to
 * sign and the signature of these fields.
 */
public final class Ocr {
    private static final int TRIES = 5;

    /**
     * Temporary errors: rate_limited, busy, dependency_unavailable. The picture was not read. quota_exhausted is not
     * one of them: its Retry-After is up to a month.
     */
    private static final Pattern COME_BACK = Pattern.compile("\"status_code\"\\s*:\\s*(12|17|18)\\b");

    private static final Duration TIMEOUT = Duration.ofSeconds(75);

    private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();
    private final URI url;
    private final String user;
    private final String secret;

    public Ocr(URI url, String user, String secret) {
        this.url = url;
        this.user = user;
        this.secret = secret;
    }

    /**
     * The service's response, a JSON object: status 200 and {@code "status_code": 6} if the picture was read.
     *
     * @param fields picture_url, unless image is given, and options such as charset
     * @param image the file's bytes; null for a URL
     * @throws IOException if there is no response. Unless it is a ConnectException or HttpConnectTimeoutException, the
     *     picture may have been read and charged: decide whether to send it again.
     */
    public HttpResponse<String> read(Map<String, String> fields, byte[] image)
            throws IOException, InterruptedException, GeneralSecurityException {
        for (int left = TRIES - 1; ; left--) {
            HttpResponse<String> answer = http.send(request(fields, image), HttpResponse.BodyHandlers.ofString());
            long wait = answer.headers().firstValueAsLong("Retry-After").orElse(-1);
            if (!COME_BACK.matcher(answer.body()).find() || wait < 0 || left == 0) {
                return answer;
            }
            Thread.sleep(wait * 1000);
        }
    }

    private HttpRequest request(Map<String, String> given, byte[] image)
            throws IOException, GeneralSecurityException {
        Map<String, String> fields = new TreeMap<>(given);
        fields.put("username", user);
        fields.put("timestamp", String.valueOf(Instant.now().getEpochSecond()));
        fields.put("nonce", UUID.randomUUID().toString());
        if (image != null) {
            fields.put("picture_sha256", hex(MessageDigest.getInstance("SHA-256").digest(image)));
        }
        fields.put("sign", sign(secret, fields));
        String boundary = UUID.randomUUID().toString();
        return HttpRequest.newBuilder(url)
                .timeout(TIMEOUT)
                .header("Content-Type", "multipart/form-data; boundary=" + boundary)
                .POST(HttpRequest.BodyPublishers.ofByteArray(form(boundary, fields, image)))
                .build();
    }

    private static byte[] form(String boundary, Map<String, String> fields, byte[] image) throws IOException {
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        String part = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n";
        for (Map.Entry<String, String> field : fields.entrySet()) {
            body.write(utf8(String.format(part, field.getKey(), "") + field.getValue() + "\r\n"));
        }
        if (image != null) {
            body.write(utf8(String.format(part, "image", "; filename=\"picture\"")));
            body.write(image);
            body.write(utf8("\r\n"));
        }
        body.write(utf8("--" + boundary + "--\r\n"));
        return body.toByteArray();
    }

    static String sign(String secret, Map<String, String> fields) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(utf8(secret), "HmacSHA256"));
        return hex(mac.doFinal(utf8(stringToSign(fields))));
    }

    static String stringToSign(Map<String, String> fields) {
        return new TreeMap<>(fields).entrySet().stream()
                .filter(field -> !field.getKey().equals("sign") && !field.getKey().equals("picture_base64"))
                .map(field -> encode(field.getKey()) + "=" + encode(field.getValue()))
                .collect(Collectors.joining("&"));
    }

    /** URLEncoder encodes forms, whose encoding differs from RFC 3986 in three characters. */
    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8)
                .replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String hex(byte[] bytes) {
        StringBuilder digits = new StringBuilder();
        for (byte each : bytes) {
            digits.append(String.format("%02x", each));
        }
        return digits.toString();
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 0 || System.getenv("OCR_SECRET") == null) {
            System.err.println("usage: OCR_USER=... OCR_SECRET=... java Ocr.java FILE|URL [NAME=VALUE ...]");
            System.exit(2);
        }
        Map<String, String> fields = new TreeMap<>();
        for (int i = 1; i < arguments.length; i++) {
            String[] field = arguments[i].split("=", 2);
            fields.put(field[0], field[1]);
        }
        String secret = System.getenv("OCR_SECRET");
        if (arguments[0].equals("--sign")) {
            System.out.println(stringToSign(fields) + "\n" + sign(secret, fields));
            return;
        }
        String url = System.getenv().getOrDefault("OCR_URL", "http://127.0.0.1:8081/ocr");
        boolean isUrl = arguments[0].matches("(?i)https?:.*");
        byte[] image = isUrl ? null : Files.readAllBytes(Path.of(arguments[0]));
        if (isUrl) {
            fields.put("picture_url", arguments[0]);
        }
        try {
            HttpResponse<String> answer = new Ocr(URI.create(url), System.getenv("OCR_USER"), secret).read(fields, image);
            System.out.print(answer.body());
            System.exit(answer.statusCode() == 200 ? 0 : 1);
        } catch (IOException error) {
            System.err.println(error);
            System.exit(3);
        }
    }
}
