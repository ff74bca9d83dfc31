/** Fetches URLs one after the other; a POST each if BODY is set. */
class Urls {
    static final String BODY = System.getenv("BODY");

    interface Fetcher {
        byte[] fetch(String url) throws Exception;
    }

    /** The arguments are PAUSE URL…; ends the process, with status 1 if one has failed. */
    static void each(String[] arguments, Fetcher fetcher) throws InterruptedException {
        int status = 0;
        for (int number = 1; number < arguments.length; number++) {
            if (number > 1) Thread.sleep((long) (1000 * Double.parseDouble(arguments[0])));
            try {
                System.out.writeBytes(fetcher.fetch(arguments[number]));
                System.out.flush();
            } catch (Exception error) {
                System.err.println(error);
                status = 1;
            }
        }
        System.exit(status);
    }
}
